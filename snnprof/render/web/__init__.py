"""What a web page shows beyond a document's tables: tiles, bars, a tree of layers, a switch of price lists."""
