"""A static page that paints in the browser: the page, the networks as a browser wants them, ONNX Runtime's library.

One more thing on the page: `index.html`, `page.css` and `page.js`; what computes is in `painter.js`. One more release
of the library: its version and checksums in `library.py`.
"""
