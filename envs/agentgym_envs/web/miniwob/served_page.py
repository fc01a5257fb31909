"""A MiniWoB page as it is served: seeded, without its clock, and closed to scripts of others.

MiniWoB++ (arXiv:1802.08802) covers a page until somebody presses START, draws the problem from
``Math.random``, and ends an episode by the wall clock. Here the page starts by itself when it has
loaded, from the task's seed and on a fixed date, and by default its deadline never comes. Its title
is what it asks for.

A policy may type anything, and some pages write what was typed into the document as HTML. So the
page's policy (the Content-Security-Policy header) allows its own inline scripts alone, by their
hashes: no ``javascript:`` address and no typed handler runs.
"""

from __future__ import annotations

import base64
import hashlib
import re

_INLINE = re.compile(r"<script(?![^>]*\ssrc=)[^>]*>(.*?)</script>", re.S | re.I)
_CORE = re.compile(r"""(<script src=["']\.\./core/core\.js["']></script>)""")

_FIXED_CLOCK = """
(() => {
  const Real = Date, start = new Real(2016, 9, 1, 12).getTime(), origin = Real.now();
  const now = () => start + Real.now() - origin;
  const Fixed = function (...given) {
    if (!new.target) return new Real(now()).toString();
    return given.length ? new Real(...given) : new Real(now());
  };
  Fixed.prototype = Real.prototype;
  Fixed.prototype.constructor = Fixed;
  Object.assign(Fixed, {now, parse: Real.parse, UTC: Real.UTC});
  window.Date = Fixed;
})();
"""

# A reader of a list of elements cannot try out what takes a click, so what listens to clicks says
# so; an icon is called what the package's own observations call it, by its class or id.
_SAY_WHAT_LISTENS = """
(() => {
  const listen = EventTarget.prototype.addEventListener;
  const containers = new Set(["BODY", "HTML", "UL", "OL", "FORM", "LABEL", "INPUT", "svg"]);
  EventTarget.prototype.addEventListener = function (kind, ...rest) {
    const pressed = kind === "click" || kind === "mousedown";
    if (pressed && this instanceof Element && !containers.has(this.tagName)) {
      this.setAttribute("onclick", "");
      const known = this.getAttribute("class") || this.id;
      if (known && !this.textContent.trim() && !this.hasAttribute("aria-label")
          && this instanceof HTMLElement) this.setAttribute("aria-label", known);
    }
    return listen.call(this, kind, ...rest);
  };
})();
"""

_SEED = "Math.seedrandom(%d);"

_START = """
window.addEventListener("load", () => {
  if (window.jQuery) jQuery.fx.off = true;
  %s
  Math.seedrandom(%d);
  core.startEpisodeReal();
  const asked = core.getUtterance();
  document.title = asked.utterance || asked;
});
"""

# setTimeout takes no more milliseconds than fit 31 bits.
_NO_DEADLINE = "core.EPISODE_MAX_TIME = 2147483647; core.countdownTimer = () => {};"

_STYLE = """
<style>
#sync-task-cover, #reward-display, #click-canvas, #input-flicker { display: none !important; }
* { transition: none !important; animation: none !important; caret-color: transparent !important; }
</style>
"""


def served_page(source: str, seed: int, decay: bool) -> tuple[str, str]:
    """The page's HTML and its Content-Security-Policy.

    Args:
        source: The page as the package has it.
        seed: The seed that the problem is drawn from.
        decay: Leave the page's clock alone: its deadline, and the reward that shrinks with time.
    """
    clock = "" if decay else _NO_DEADLINE
    page = _CORE.sub(rf"\1<script>{_SEED % seed}</script>", source, count=1)
    page = page.replace("<head>", f"<head><script>{_FIXED_CLOCK}{_SAY_WHAT_LISTENS}</script>", 1)
    page = page.replace("</head>", f"{_STYLE}</head>", 1)
    page = page.replace("</body>", f"<script>{_START % (clock, seed)}</script></body>", 1)
    return page, _policy(page)


def _policy(page: str) -> str:
    scripts = " ".join(f"'sha256-{_digest(text)}'" for text in _INLINE.findall(page))
    return (
        f"default-src 'self' data:; script-src 'self' {scripts}; "
        "style-src 'self' 'unsafe-inline'; form-action 'none'; base-uri 'none'; object-src 'none'"
    )


def _digest(script: str) -> str:
    # A browser hashes the text after it has made every line end a line feed.
    text = script.replace("\r\n", "\n").replace("\r", "\n")
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
