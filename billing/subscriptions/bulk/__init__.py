"""Moves of many subscribers from one plan to another: asked for, tried, confirmed, and worked off one by one."""
