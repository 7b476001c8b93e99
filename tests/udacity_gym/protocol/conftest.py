"""Pytest puts this folder on the path, so that its tests share `unity_like` and `wire_tools`."""
