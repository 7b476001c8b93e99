from . import (
    car as car,
    ground as ground,
    world as world,
)
