"""Fifty images of two classes, a five-layer network: the trainings of zhu2022's figures 7, 23 to 26 and 29.

Two figures of one activation show the same training, and each runs it.
"""
