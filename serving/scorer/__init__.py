"""The program that answers scoring requests (Seldon V1 and Open Inference Protocol V2).

Layers, inside out: ``v1`` and ``v2`` turn bytes into rows and answers into
bytes; ``service`` scores, counts and records, in ``workers`` where it takes
long; ``app`` is what HTTP asks and ``http1`` and ``listener`` how it is spoken;
``grpc`` is the other transport; ``entities`` finds features by entity;
``decisions``, ``payloads`` and ``feedback`` write behind the answer; ``server``
is the process and ``drain`` its end.
"""
