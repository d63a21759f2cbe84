"""Papers: validation report, model card, fairness report and notices, made of what was measured and never typed.

A paper is a ``Document``: sections of facts, tables and drawings as plain values. ``html``, ``pdf`` and ``text`` print
the same document; its JSON is the document itself, every number as it was measured.
"""
