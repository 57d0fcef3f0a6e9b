"""Checks that this machine can do a build, made before it starts."""
