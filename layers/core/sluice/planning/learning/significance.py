"""What is more than chance: the differences that count as evidence, for all that is learned from counts.

One level of risk stands behind them: what chance does once in 25 times is allowed for, and what it does less often
is evidence of something else. Of a normal distribution, once in 25 times a value is further than `LIKELY` standard
deviations from the mean, to either side; or above it by more than `MOST` of them, which are `MOST_ERRORS` mean absolute
errors. Of messages that come by chance one gap in 25 is longer than `GAPS` mean ones.
"""

from math import log, pi, sqrt
from statistics import NormalDist

RISK = 0.04  # one case in 25
NORMAL = NormalDist()
ERROR = sqrt(pi / 2.0)  # mean absolute errors in a standard deviation of a normal distribution
LIKELY = NORMAL.inv_cdf(1.0 - RISK / 2.0)  # 2.05
MOST = NORMAL.inv_cdf(1.0 - RISK)  # 1.75
MOST_ERRORS = ERROR * MOST  # 2.19
GAPS = -log(RISK)  # 3.22

FEW = 3.0  # messages: a difference of three is chance
FOUNDED = 10.0  # of so many messages, or judged forecasts, the standard error is about a third: of fewer it is chance
KNOWN_WELL = 60.0  # a rate over so many messages is wrong by an eighth by chance: more need not be remembered
COUNT_ERROR = 0.05  # counts are approximate by so much, and what they are compared with
CLEAR = 0.25  # a difference of a quarter is no noise, whatever makes it
RECENT = 3  # what happens now is judged by the last three of a kind, not by one of them: minutes, hours, changes
ALIKE_S = 900.0  # traffic is alike within a quarter of an hour, and may be other in the next
RECENT_S = 1800.0  # what is usual now shows in half an hour, and what was before says little of what comes next
REMEMBERED_S = 3600.0  # what was true an hour ago may be tried again
TWICE = 2.0  # one period may have twice or half of what is expected, and one day twice the most of another; hardly more
