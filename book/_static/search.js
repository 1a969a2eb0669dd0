// Sphinx names every find by its page's title. One that leads to a section gets the section's, too.
const finds = document.getElementById("search-results");
new MutationObserver(() => {
  for (const link of finds.querySelectorAll("li > a[href*='#']:not([data-named])")) {
    link.dataset.named = "";
    const [page, section] = link.getAttribute("href").split("#");
    const { alltitles, docnames } = Search._index;
    const heading = Object.keys(alltitles).find((title) => alltitles[title].some(
      ([file, id]) => id === section && `${docnames[file]}.html` === page));
    if (heading && !link.textContent.includes(heading)) link.append(` > ${heading}`);
  }
}).observe(finds, { childList: true, subtree: true });
