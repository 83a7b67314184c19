// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a page may load and run, and names that look like HTML.

use super::Site;
use anyhow::{Context, Result};

#[test]
fn the_page_runs_and_loads_only_its_own() -> Result<()> {
    let mut site = Site::start(&["a.mjpeg"], &[])?;
    for path in ["/", "/play/a.mjpeg", "/lab"] {
        site.open("about:blank").ok();
        site.open(path)?;
        site.browser.wait_for("document.readyState === 'complete'")?;
        let url = site.url(path);
        let policy = site.browser.response_header(&url, "content-security-policy");
        let policy = policy.with_context(|| format!("{path} has no policy"))?;
        for part in
            ["default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'"]
        {
            assert!(
                policy.split("; ").any(|it| it.trim() == part),
                "{path}: {part} is not in {policy}"
            );
        }
    }
    let refused = site.browser.value(
        "(async () => { const refused = []; \
         document.addEventListener('securitypolicyviolation', it => refused.push(it.effectiveDirective)); \
         const script = document.createElement('script'); script.textContent = 'window.broken = 1'; \
         document.head.append(script); \
         document.body.setAttribute('style', 'opacity: 0.5'); \
         const image = new Image(); image.src = 'https://example.org/a.png'; \
         await fetch('https://example.org/').catch(() => {}); \
         await new Promise(done => setTimeout(done, 100)); \
         return [window.broken ?? null, getComputedStyle(document.body).opacity, refused.sort()]; })()",
    )?;
    let want = serde_json::json!([
        null,
        "1",
        ["connect-src", "img-src", "script-src-elem", "style-src-attr"]
    ]);
    assert_eq!(refused, want);
    Ok(())
}

#[test]
fn names_are_text() -> Result<()> {
    let name = "<img src=x onerror=alert(1)> & 'quoted' 100%.mjpeg";
    let mut site = Site::start(&[name], &[])?;
    site.open_wall("/", 1)?;
    assert_eq!(site.browser.text("document.querySelector('#grid .name').textContent")?, name);
    site.browser.click("#grid a")?;
    site.wait_until_it_plays()?;
    assert_eq!(site.browser.text("document.querySelector('.side h1').textContent")?, name);
    assert_eq!(site.browser.value("document.querySelectorAll('img[src=x]').length")?, 0);
    // A shell takes each command as it stands: one word for the address.
    let command =
        site.browser.text("document.querySelector('[aria-label=\"Lab client\"]').textContent")?;
    assert!(
        command.ends_with(" 25000 '<img src=x onerror=alert(1)> & '\\''quoted'\\'' 100%.mjpeg'"),
        "{command}"
    );
    site.is_well()
}
