"""The report's closing section."""

METHOD = """
## Method

- **Isolation.** The server and all its children on core 0, the generator on core 1, one server alive at a time, on
  loopback, `OMP_NUM_THREADS=1`. The run refuses to start above a load of 0.5 or a steal of 1 %. Each start gets a
  nonce that its answers must show, so that no other server can be measured by mistake.
- **Same work.** One booster file and one joblib file for all; 20,000 distinct seeded rows, sent in turn. Ours serves a
  signed bundle of the same booster, checks every value against the contract, calibrates, decides, counts and (unless
  the row says off) logs; the peers only score. Peers "with reasons" build one `shap.TreeExplainer` at start and call
  `shap_values` on each request; the texts and the choice of the strongest four are ours alone.
- **Load.** Open loop: send times are drawn in advance (Poisson for the search; Poisson and constant at half), and a
  latency runs from the intended send time to the last byte, so a stalled server cannot slow the clock that measures
  it. 64 connections, one request at a time each; a due request waits for a free one at its own expense. A kept-alive
  connection that the server closes is opened anew and the request sent again, within its latency.
- **Highest rate.** From three quarters of the closed-loop throughput in steps of 1.3, then bisection to 4 %; a probe
  holds with p99 ≤ 5 ms and no error or unanswered request, and has a second try; the generator's lag never helps a
  server. The rows that targets rest on are measured in several rounds, in random order, the later ones from the first
  one's rate; the other rows once, between those rounds, with a search half as long. A row that is not reached before
  the time is up is listed as not measured.
- **CPU** is the process clock of the server and its children (what `/proc/PID/stat` shows rounded to 10 ms), at a fixed
  rate, divided by the answers; the null server (uvloop and httptools, a fixed answer of the same size) is measured at
  the same rates.
- **Where the machine cannot certify a rate.** No server is faster than one that does nothing. Where the null server
  holds the limit at no rate, or only below the rate of a row, the tail is the machine's (its hypervisor, its
  neighbours), and the rates of that run are shown but decide nothing; nor does a rate decide against a row whose search
  the generator ended (≥ in the tables). Beside each target on rates stands the same one
  by CPU: microseconds of a server's CPU per request in a closed loop of 8 connections, whose reciprocal is what one
  core can answer if nothing else held it up. It is looser about queues (a server that waits costs nothing) and blind
  to latency; it is stated in every run, whatever it says.
- **Peers' settings**: [`benchmarks/scorer/peers`](../../../benchmarks/scorer/peers) and `systems.py`; each in an
  environment of its own from a pinned list. MLServer: no debug, metrics or gzip; BentoML: async endpoint, no metrics or
  access log; LitServe: its ZeroMQ queue; Seldon's wrapper: gunicorn as it starts it, and with threads.
- **The forest** is bounded as a fraud team would bound it: depth 10, at least 20 rows a leaf.
"""
