"""Checks that this machine can do a build before it begins."""
