"""No unit test is timed: a busy machine makes any example slow, and says nothing of the code."""

from hypothesis import HealthCheck, settings

# Inherits what is loaded, as hypothesis' own profile where CI is set.
settings.register_profile("untimed", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")
