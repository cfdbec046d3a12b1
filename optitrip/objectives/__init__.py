"""Losses that come with optitrip; each is named in a sweep file as `optitrip.objectives:Name`."""

from optitrip.objectives.softmax import Softmax

__all__ = ["Softmax"]
