"""Which convention and which prices does a printed energy follow?"""
