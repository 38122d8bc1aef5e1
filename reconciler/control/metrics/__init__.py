"""What the platform counts, and how that is told: to Prometheus when it asks, and to people at a glance.

Counting is done by those who see something happen; here it is added up, bounded, and forgotten with its service.
"""

from reconciler.control.metrics.meter import Meter as Meter
from reconciler.control.metrics.scrape import Scrape as Scrape
