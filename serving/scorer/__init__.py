"""The program that answers scoring requests (Seldon V1 and Open Inference Protocol V2).

Layers, inside out: ``v1`` and ``v2`` turn bytes into rows and answers into
bytes; ``service`` scores, counts and records; ``app`` is HTTP; ``decisions``,
``payloads`` and ``feedback`` write behind the answer; ``server`` is the process.
"""
