"""Writes the models in this folder, and what they answer, with the Keras that runs it.

They were written by Keras 1.2.2 and 2.2.5 on TensorFlow 1.14, 2.15 on TensorFlow 2.15, and 3.15 on torch:

    python make_models.py keras1   (and so on)

The four give the same answers, but for the last digits. Models with channels first were written by Keras
1.2.2 on Theano 1.0.5 and by Keras 3.12 on torch, with answers of their own, since Theano computes otherwise:

    python make_models.py keras1_theano channels_first
    python make_models.py keras3 channels_first
"""

import sys

import keras
import numpy as np
from keras import layers
from keras.models import Model, Sequential

VERSION = int(keras.__version__.split(".")[0])
SHAPE = (18, 32, 3)


def convolution(filters, size, stride, padding="valid", **settings):
    if VERSION == 1:
        kind = layers.Convolution2D
        return kind(filters, size, size, subsample=(stride, stride), border_mode=padding, **settings)
    return layers.Conv2D(filters, size, strides=(stride, stride), padding=padding, **settings)


def course():
    """What the course teaches, after Bojarski et al. 2016, but small; it takes images as they are."""
    model = Sequential()
    model.add(layers.Lambda(lambda x: x / 127.5 - 1.0, input_shape=SHAPE))
    model.add(layers.Cropping2D(cropping=((4, 2), (0, 0))))
    model.add(convolution(4, 5, 2, activation="elu"))
    model.add(convolution(6, 3, 1, padding="same"))
    model.add(layers.ELU())
    model.add(layers.MaxPooling2D((2, 2)))
    model.add(layers.Dropout(0.5))
    model.add(layers.Flatten())
    model.add(layers.Dense(10, activation="relu"))
    model.add(layers.Dense(1))
    return model


def others():
    """Other layers that people have used; it takes images in [0, 1]."""
    model = Sequential()
    model.add(convolution(4, 3, 2, padding="same", activation="relu", input_shape=SHAPE))
    model.add(layers.BatchNormalization())
    model.add(layers.LeakyReLU(negative_slope=0.2) if VERSION > 2 else layers.LeakyReLU(0.2))
    model.add(layers.ZeroPadding2D((1, 2)))
    model.add(layers.AveragePooling2D((2, 2)))
    model.add(layers.Activation("tanh"))
    model.add(layers.GlobalAveragePooling2D())
    model.add(layers.Dense(8))
    model.add(layers.PReLU())
    model.add(layers.Dense(2, activation="tanh"))
    return model


def functional():
    """Made with the functional interface; odd sizes, whose borders TensorFlow pads unevenly."""
    same = {"border_mode": "same"} if VERSION == 1 else {"padding": "same"}
    images = layers.Input(shape=SHAPE)
    x = convolution(4, 4, 3, padding="same")(images)
    x = layers.MaxPooling2D((3, 2), strides=(2, 2), **same)(x)
    x = layers.AveragePooling2D((2, 2), strides=(2, 2), **same)(x)
    x = layers.Flatten()(x)
    x = layers.Dense(2, activation="softsign")(x)
    return Model(images, x)


def channels_first():
    """Images are (channels, height, width), as Theano has them; it takes images in [0, 1]."""
    first = {"dim_ordering": "th"} if VERSION == 1 else {"data_format": "channels_first"}
    model = Sequential()
    model.add(convolution(4, 5, 2, padding="same", input_shape=(3, 18, 32), **first))
    model.add(layers.BatchNormalization(axis=1))
    model.add(convolution(5, 4, 2, padding="same", activation="relu", **first))
    model.add(layers.PReLU())
    model.add(layers.ZeroPadding2D((1, 1), **first))
    model.add(convolution(6, 3, 1, **first))
    model.add(layers.MaxPooling2D((2, 2), **first))
    model.add(layers.Flatten())
    model.add(layers.Dense(7, activation="tanh"))
    model.add(layers.Dense(1))
    return model


def main_channels_first(name):
    random = np.random.RandomState(6)  # noqa: NPY002 - old NumPy has no other
    images = random.randint(0, 256, (3,) + SHAPE).astype(np.uint8)
    model = channels_first()
    drawn = {True: (0.0, 0.15), False: (0.3, 0.05)}
    model.set_weights(
        [random.normal(*drawn[w.ndim > 1], size=w.shape).astype("float32") for w in model.get_weights()]
    )
    answers = model.predict(images.transpose(0, 3, 1, 2) / np.float32(255))
    path = "%s_channels_first" % name
    model.save(path + ".h5")
    np.savez("%s_answers.npz" % path, images=images, answers=answers)


def main(name):
    random = np.random.RandomState(5)  # noqa: NPY002 - old NumPy has no other
    images = random.randint(0, 256, (3,) + SHAPE).astype(np.uint8)
    answers = {"images": images}
    for make, scale in ((course, 1.0), (others, 1 / 255.0), (functional, 1 / 255.0)):
        model = make()
        drawn = {True: (0.0, 0.15), False: (0.3, 0.05)}
        model.set_weights(
            [random.normal(*drawn[w.ndim > 1], size=w.shape).astype("float32") for w in model.get_weights()]
        )
        answers[make.__name__] = model.predict(images * np.float32(scale))
        path = "%s_%s" % (name, make.__name__)
        if name in ("keras1", "keras2", "keras3"):
            model.save(path + ".h5")
        if name in ("keras2_15", "keras3"):
            model.save(path + ".keras")
        if name == "keras1" and make is course:  # as the course wanted it in 2016
            model.save_weights(path + "_weights.h5")
            with open(path + "_weights.json", "w") as file:
                file.write(model.to_json())
    np.savez("%s_answers.npz" % name, **answers)


if sys.argv[2:] == ["channels_first"]:
    main_channels_first(sys.argv[1])
else:
    main(sys.argv[1])
