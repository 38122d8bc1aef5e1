"""Cron: the jobs of the releases that serve, run at their times and never twice."""

from reconciler.control.cron.cron import Cron as Cron
