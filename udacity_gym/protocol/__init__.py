"""The wire between a simulator and who drives it; nothing else in this package knows strings, degrees or mph.

A simulator is the client: it connects to a Socket.IO server on port 4567 and asks what to do.
`server` is that server, for any simulator; `client` is a simulator on the wire, for any server.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
