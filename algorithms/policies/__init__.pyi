from . import (
    batch as batch,
    checkpoint as checkpoint,
    device as device,
    ensemble as ensemble,
    export as export,
    loading as loading,
    losses as losses,
    network_loading as network_loading,
    network_policy as network_policy,
    networks as networks,
    numpy_policy as numpy_policy,
    preprocessing as preprocessing,
)
