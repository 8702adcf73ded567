"""User studies: which recipe's assets do people prefer, when they do not know whose they are?

``building`` makes a page of anonymous assets, ``server`` collects answers, ``tallying`` counts.
"""
