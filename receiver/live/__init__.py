"""The streams of runs that are listened to: one upstream, however many listen.

Everything is bounded: channels, listeners, and the events and characters of each ring.
"""

from receiver.live.channels import Bounds, Listening
from receiver.live.hub import TRIES, Hub

__all__ = ["TRIES", "Bounds", "Hub", "Listening"]
