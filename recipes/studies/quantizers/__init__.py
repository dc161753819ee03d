"""Do DiVeQ and SF-DiVeQ hold what they promise, at equal transmitted bits? Baselines, runs,
measures, report.
"""
