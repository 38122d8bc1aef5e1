// Shows the one document with everything in it. Whatever could ask another host is off; the page's policy forbids it too.
"use strict";
const place = document.getElementById("reference");
Scalar.createApiReference(place, {
  url: place.dataset.document,
  theme: "default",
  layout: "modern",
  withDefaultFonts: false,
  hideTestRequestButton: true,
  hideClientButton: true,
  documentDownloadType: "direct",
  showDeveloperTools: "never",
  telemetry: false,
  agent: { disabled: true },
  mcp: { disabled: true },
  persistAuth: false,
  defaultOpenAllTags: false,
});
