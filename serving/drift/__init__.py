"""The drift monitor: watches the payloads of a served model beside its live traffic.

It receives CloudEvents as Seldon's payload logger sends them, compares each full
window with the reference in the bundle and publishes the verdict as metrics.
It never answers slowly and never fails serving; see docs/drift.md.
"""
