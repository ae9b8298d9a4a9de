"""Why endpoints are silent, and what can be done: evidence in, ranked findings out. Pure.

``engine.diagnose`` asks every rule of ``table.RULES``. A rule is data: signs that must hold, signs that
prove, speak for or speak against it, and its options. Who collects evidence is no business of these files.
"""
