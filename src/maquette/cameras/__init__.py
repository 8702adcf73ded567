"""Camera samplers: where do we look from?"""
