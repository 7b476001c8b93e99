from . import (
    car_body as car_body,
    car_shape as car_shape,
    cards as cards,
    daylight as daylight,
    faces as faces,
    furniture as furniture,
    land as land,
    scene_arrays as scene_arrays,
    scenery as scenery,
    shadows as shadows,
    terrain as terrain,
    textures as textures,
)
