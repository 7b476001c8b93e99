from . import (
    adapters as adapters,
    base as base,
    bc as bc,
    checks as checks,
    dagger as dagger,
    learners as learners,
    many as many,
    older_files as older_files,
    policies as policies,
    tracking as tracking,
    training as training,
)
from .base import (
    Chunks as Chunks,
    Learner as Learner,
    Policy as Policy,
    TrainingError as TrainingError,
)
from .bc import (
    BehavioralCloning as BehavioralCloning,
    BehavioralCloningConfig as BehavioralCloningConfig,
)
from .dagger.dagger import (
    DAgger as DAgger,
    DAggerConfig as DAggerConfig,
)
from .dagger.learner import (
    InteractiveConfig as InteractiveConfig,
    InteractiveLearner as InteractiveLearner,
)
from .dagger.rounds import (
    collect_round as collect_round,
    label_round as label_round,
)
from .dagger.schedules import (
    Constant as Constant,
    Exponential as Exponential,
    FirstRound as FirstRound,
    Linear as Linear,
)
from .dagger.variants import (
    DART as DART,
    DARTConfig as DARTConfig,
    EnsembleDAgger as EnsembleDAgger,
    EnsembleDAggerConfig as EnsembleDAggerConfig,
    HGDAgger as HGDAgger,
    HGDAggerConfig as HGDAggerConfig,
    SafeDAgger as SafeDAgger,
    SafeDAggerConfig as SafeDAggerConfig,
    ThriftyDAgger as ThriftyDAgger,
    ThriftyDAggerConfig as ThriftyDAggerConfig,
)
from .learners import (
    LEARNERS as LEARNERS,
    find_learner as find_learner,
)
from .many import learn_many as learn_many
from .policies.batch import Batch as Batch
from .policies.ensemble import Ensemble as Ensemble
from .policies.export import (
    ExportError as ExportError,
    export as export,
)
from .policies.loading import load_policy as load_policy
from .policies.losses import (
    LOSSES as LOSSES,
    Classes as Classes,
    Gaussian as Gaussian,
    GaussianMixture as GaussianMixture,
    Huber as Huber,
    Loss as Loss,
    MeanAbsolute as MeanAbsolute,
    MeanSquare as MeanSquare,
)
from .policies.network_policy import NetworkPolicy as NetworkPolicy
from .policies.networks import (
    ACT as ACT,
    NETWORKS as NETWORKS,
    Backbone as Backbone,
    PilotLSTM as PilotLSTM,
    PilotNet as PilotNet,
    SmallResNet as SmallResNet,
    make_network as make_network,
)
from .policies.numpy_policy import NumpyPolicy as NumpyPolicy
from .policies.preprocessing import Preprocessing as Preprocessing
from .tracking import (
    TRACKERS as TRACKERS,
    Tracker as Tracker,
)
from .training.arrays import FrameDataset as FrameDataset
from .training.augment import (
    Augmentation as Augmentation,
    Geometry as Geometry,
)
from .training.config import TrainingConfig as TrainingConfig
from .training.data import Frames as Frames
from .training.trainer import (
    Training as Training,
    TrainingStep as TrainingStep,
)
