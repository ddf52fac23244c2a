"""What the tests ask of a page, as JavaScript."""

from __future__ import annotations

from tests.browser.chromium import Browser

PLOTS = """[...document.querySelectorAll("svg")].map(svg => ({
  role: svg.getAttribute("role"),
  alt: svg.getAttribute("aria-label") || "",
  table: !!svg.closest("figure")?.querySelector("details table tbody tr"),
  width: svg.getBoundingClientRect().width,
  height: svg.getBoundingClientRect().height,
}))"""

# Whatever could load, run, or lead away; a page of ours has none of them.
FOREIGN = """[...document.querySelectorAll(
  "script, img, image, iframe, object, embed, link, base, form, audio, video, foreignObject, animate, set, a"
)].map(element => element.outerHTML.slice(0, 200))"""

HANDLERS = """[...document.querySelectorAll("*")].flatMap(element =>
  [...element.attributes]
    .filter(a => /^on/i.test(a.name)
      || /href|src|action|style/i.test(a.name) && /javascript:|url\\((?!#)/i.test(a.value))
    .map(a => a.name))"""

WIDER_THAN_THE_WINDOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"

# The contrast (WCAG 2, 1.4.3) of every text with what lies behind it, the worst first.
CONTRASTS = """(() => {
  const channels = text => (text.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(c => c / 255)
    .map(c => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = element => {
    for (let e = element; e; e = e.parentElement) {
      const colour = channels(getComputedStyle(e).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const own = e => [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
  return [...document.querySelectorAll("body *")].filter(own).map(e => {
    const style = getComputedStyle(e);
    const ink = channels(e.namespaceURI.includes("svg") ? style.fill : style.color);
    const [a, b] = [light(ink), light(behind(e))];
    return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), e.textContent.trim().slice(0, 40)];
  }).sort((x, y) => x[0] - y[0]);
})()"""


def complaints(browser: Browser) -> list[str]:
    """Return everything that is wrong with the page that is open, in words; a good page has nothing."""
    found = [f"console: {text}" for text in browser.problems()]
    found += [f"request: {address}" for address in browser.requests()[1:]]
    found += [f"foreign element: {element}" for element in browser.ask(FOREIGN)]
    found += [f"handler: {name}" for name in browser.ask(HANDLERS)]
    if (wider := browser.ask(WIDER_THAN_THE_WINDOW)) > 0:
        found.append(f"wider than the window by {wider} px")
    for number, plot in enumerate(browser.ask(PLOTS), start=1):
        if plot["role"] != "img" or len(plot["alt"]) < 40:
            found.append(f"plot {number} has no alternative text: {plot['alt']!r}")
        if not plot["table"]:
            found.append(f"plot {number} has no table")
        if plot["width"] < 100 or plot["height"] < 50:
            found.append(f"plot {number} is not to be seen")
    return found
