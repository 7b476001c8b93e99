from . import (
    balance as balance,
    columns as columns,
    convert as convert,
    dialect as dialect,
    edits as edits,
    episodes as episodes,
    frames as frames,
    header as header,
    images as images,
    loader as loader,
    log as log,
    packed as packed,
    plot as plot,
    reader as reader,
    recorder as recorder,
    report as report,
    side_file as side_file,
    splitting as splitting,
    storage as storage,
    summary as summary,
    tools as tools,
    writer as writer,
)
from .episodes import (
    Episode as Episode,
    Frame as Frame,
    Outcomes as Outcomes,
    Recording as Recording,
)
from .frames import (
    ImageCache as ImageCache,
)
from .images import (
    Downscale as Downscale,
)
from .loader import (
    FrameBatch as FrameBatch,
    TrainingLoader as TrainingLoader,
)
from .packed import (
    PackedFrames as PackedFrames,
    pack as pack,
)
from .reader import (
    open_recording as open_recording,
)
from .recorder import (
    Recorder as Recorder,
    record as record,
)
from .report import (
    Finding as Finding,
    Report as Report,
)
from .summary import (
    Summary as Summary,
    summarize as summarize,
)
from .writer import (
    RecordingWriter as RecordingWriter,
)
