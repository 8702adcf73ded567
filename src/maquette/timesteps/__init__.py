"""Timestep samplers: how much noise?"""
