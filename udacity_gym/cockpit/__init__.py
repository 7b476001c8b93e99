"""The cockpit: a page in the browser to drive, record, take over, teach and look back.

`Cockpit` is the server, `udacity-gym cockpit` starts one. It needs the extra ``cockpit``: Starlette, uvicorn
and websockets.

    session.py      the car: one thread, in which one drive goes on
    setup.py        what is driven, and who drives
    link.py         how old commands may be, and when driving is locked
    seats.py        who drives and who watches; the page as an input device
    taping.py       what is recorded and thrown away
    teaching.py     rounds of DAgger with a human
    jobs.py         trainings and evaluations in processes of their own
    browse.py       recordings, for the page
    workspace.py    the folder that the page may read and write
    security.py     who may connect
    desk.py         what the page can ask for
    server.py       HTTP and WebSocket
    static/         the page
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
