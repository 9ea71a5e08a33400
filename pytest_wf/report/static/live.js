// A page of a flow that runs: it is loaded again, as the flow writes it anew, until the flow ends.

const QUIET_MS = 5000; // since the reader's last touch
let touchedAt = 0;

function keepFresh() {
  const place = byId("live");
  if (!place) return;
  const ago = () => {
    const seconds = Math.max(0, (Date.now() - Date.parse(page.live.drawn_at)) / 1000);
    place.textContent = `The flow runs. This page is of ${seconds < 60 ? Math.round(seconds) + " s" : duration(seconds)} ago, and is loaded again by itself.`;
  };
  for (const kind of ["keydown", "pointerdown", "pointermove", "wheel"])
    addEventListener(kind, () => { touchedAt = Date.now(); }, { passive: true });
  const began = Date.now();
  setInterval(() => {
    ago();
    // not under the reader's hand, and not where nobody looks
    const isIdle = Date.now() - touchedAt > QUIET_MS && !document.hidden;
    if (isIdle && Date.now() - began > page.live.every_s * 1000) location.reload();
  }, 1000);
  ago();
}
