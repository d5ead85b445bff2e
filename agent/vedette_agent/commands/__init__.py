"""The commands of `vedette-agent`, a file per family.

Importing one costs no more than click: what a command needs is imported when it runs.
"""
