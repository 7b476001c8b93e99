from . import (
    common as common,
    donkeycar as donkeycar,
    formats as formats,
    huggingface as huggingface,
    imitation as imitation,
    lerobot as lerobot,
    minari as minari,
)
from .formats import (
    FORMATS as FORMATS,
    load as load,
    save as save,
)
