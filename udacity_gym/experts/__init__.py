"""Experts: who can show how to drive.

An expert is anything that maps an observation and the privileged ``info`` of the environment to an
action. Learners see observations only; experts may use everything.
"""

from udacity_gym.driving.handover import Corrections
from udacity_gym.driving.human import Gamepad, Human, Keyboard, Reading
from udacity_gym.experts.base import Expert
from udacity_gym.experts.noisy import Noise, NoisyExpert
from udacity_gym.experts.pid import PID
from udacity_gym.experts.policy import PolicyExpert
from udacity_gym.experts.pure_pursuit import PurePursuit
from udacity_gym.experts.racing import Racing
from udacity_gym.experts.racing_line import RacingLine, racing_line
from udacity_gym.experts.registry import EXPERTS, make_expert
from udacity_gym.experts.scripted_human import ScriptedHuman

__all__ = [
    "EXPERTS",
    "PID",
    "Corrections",
    "Expert",
    "Gamepad",
    "Human",
    "Keyboard",
    "Noise",
    "NoisyExpert",
    "PolicyExpert",
    "PurePursuit",
    "Racing",
    "RacingLine",
    "Reading",
    "ScriptedHuman",
    "make_expert",
    "racing_line",
]
