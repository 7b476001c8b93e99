from . import (
    checkpoint as checkpoint,
    ensemble as ensemble,
    export as export,
    loading as loading,
    losses as losses,
    network_policy as network_policy,
    networks as networks,
    preprocessing as preprocessing,
)
