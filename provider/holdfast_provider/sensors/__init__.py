"""Sensors."""

from holdfast_provider.sensors.promotion import PromotionDecisionSensor

__all__ = ["PromotionDecisionSensor"]
