"""Metrics: functions from pictures and a prompt to a number."""
