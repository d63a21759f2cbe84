"""The dashboards in a terminal: samples from Prometheus or from the programs' own pages, judged and drawn.

``samples`` and ``view`` are pure, ``screen`` draws a view, ``sources`` are the adapters.
"""
