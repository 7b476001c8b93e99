from .link import (
    Limits as Limits,
    Link as Link,
)
from .server import Cockpit as Cockpit
from .session import (
    Session as Session,
    Setup as Setup,
)
from .workspace import Workspace as Workspace

__all__ = ["Cockpit", "Limits", "Link", "Session", "Setup", "Workspace"]
