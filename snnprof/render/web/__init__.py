"""The parts of a web page besides a document's tables: tiles, bars, a tree of layers, a switch of price lists."""
