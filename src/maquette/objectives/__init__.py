"""Objectives: which way should the latents move?"""
