// The page of a running flow: reloads itself until the flow ends.

const QUIET_S = 900; // a running flow redraws more often, even if drawing is slow
const QUIET_MS = 5000; // since the reader's last action
let touchedAt = 0;

// The state of the flow, by the age of its page in seconds.
function liveText(age) {
  const ago = age < 60 ? Math.max(0, Math.round(age)) + " s" : duration(age);
  return age < QUIET_S
    ? `The flow is running. This page was drawn ${ago} ago and is reloaded automatically.`
    : `The flow was running when this page was drawn, ${ago} ago, and has not redrawn it since: whether it is still running is unknown.`;
}

function keepFresh() {
  const place = byId("live");
  if (!place) return;
  const ago = () => { place.textContent = liveText((Date.now() - Date.parse(page.live.drawn_at)) / 1000); };
  for (const kind of ["keydown", "pointerdown", "pointermove", "wheel"])
    addEventListener(kind, () => { touchedAt = Date.now(); }, { passive: true });
  const began = Date.now();
  setInterval(() => {
    ago();
    // not while the reader uses the page or has a row open, and not in a hidden tab
    const isIdle = Date.now() - touchedAt > QUIET_MS && !document.hidden && !list.open;
    if (isIdle && Date.now() - began > page.live.every_s * 1000) location.reload();
  }, 1000);
  ago();
}
