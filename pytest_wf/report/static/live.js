// A page of a flow that runs: it is loaded again, as the flow writes it anew, until the flow ends.

const QUIET_S = 900; // a flow that runs draws more often, also where drawing takes long
const QUIET_MS = 5000; // since the reader's last touch
let touchedAt = 0;

// What is known of the flow, by the age of its page in seconds.
function liveText(age) {
  const ago = age < 60 ? Math.max(0, Math.round(age)) + " s" : duration(age);
  return age < QUIET_S
    ? `The flow runs. This page is of ${ago} ago, and is loaded again by itself.`
    : `The flow ran when this page was drawn, ${ago} ago, and has not drawn it since: whether it runs is not known.`;
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
    // not while the reader uses it or has a row open, and not in a hidden tab
    const isIdle = Date.now() - touchedAt > QUIET_MS && !document.hidden && !list.open;
    if (isIdle && Date.now() - began > page.live.every_s * 1000) location.reload();
  }, 1000);
  ago();
}
