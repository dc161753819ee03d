"""The codec in the shapes that other toolkits ask for. Each module needs its toolkit; none is
installed for it.
"""
