from . import (
    chunks as chunks,
    decision as decision,
    driver as driver,
    episode_counter as episode_counter,
    gates as gates,
    handover as handover,
    human as human,
    lap_timer as lap_timer,
    loading as loading,
    loop as loop,
    many as many,
    onnx_policy as onnx_policy,
    policy_inputs as policy_inputs,
    speed as speed,
    standstill as standstill,
    throttle_laws as throttle_laws,
)
from .chunks import Chunks as Chunks
from .decision import (
    EXPERT as EXPERT,
    HUMAN as HUMAN,
    POLICY as POLICY,
    Decision as Decision,
)
from .driver import (
    Driver as Driver,
    EpisodeClock as EpisodeClock,
    ExpertDriver as ExpertDriver,
    PolicyDriver as PolicyDriver,
    Predictor as Predictor,
    as_driver as as_driver,
    name_of as name_of,
)
from .episode_counter import (
    EpisodeCounter as EpisodeCounter,
    EpisodeSummary as EpisodeSummary,
)
from .gates import (
    EnsembleGate as EnsembleGate,
    Gate as Gate,
    GatedDriver as GatedDriver,
    HumanGate as HumanGate,
    Mixture as Mixture,
    Moment as Moment,
    NoiseGate as NoiseGate,
    PolicyAlone as PolicyAlone,
)
from .handover import (
    Corrections as Corrections,
    Handover as Handover,
)
from .human import (
    Gamepad as Gamepad,
    Human as Human,
    Keyboard as Keyboard,
    Reading as Reading,
)
from .lap_timer import LapTimer as LapTimer
from .loading import (
    load_driver as load_driver,
    load_policy as load_policy,
    policy_path as policy_path,
    pretrained_names as pretrained_names,
)
from .loop import (
    PutBack as PutBack,
    PutBackError as PutBackError,
    Rules as Rules,
    Step as Step,
    drive as drive,
)
from .many import (
    Drive as Drive,
    drive_many as drive_many,
)
from .onnx_policy import OnnxPolicy as OnnxPolicy
from .policy_inputs import ObservationError as ObservationError
from .speed import SpeedController as SpeedController
from .throttle_laws import (
    ConstantThrottle as ConstantThrottle,
    PIThrottle as PIThrottle,
    SpeedThrottle as SpeedThrottle,
    SteeringThrottle as SteeringThrottle,
    ThrottleLaw as ThrottleLaw,
)
