from . import (
    browse as browse,
    child as child,
    desk as desk,
    jobs as jobs,
    link as link,
    seats as seats,
    security as security,
    server as server,
    session as session,
    setup as setup,
    taping as taping,
    teaching as teaching,
    workspace as workspace,
)
from .link import (
    Limits as Limits,
    Link as Link,
)
from .server import Cockpit as Cockpit
from .session import Session as Session
from .setup import Setup as Setup
from .workspace import Workspace as Workspace
