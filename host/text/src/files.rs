//! What an error of the system about a file comes to, in words that name what is missing.

use std::io::{Error, ErrorKind};
use std::path::Path;

/// Why something could not be done with the file or folder `path`: which folder is not there, or is none.
pub fn why(path: &Path, error: &Error) -> String {
    let parents = || path.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty());
    let last = |is_it: fn(&Path) -> bool| parents().filter(|folder| is_it(folder)).last();
    match error.kind() {
        ErrorKind::NotFound => match last(|folder| !folder.exists()) {
            Some(folder) => format!("there is no folder {}", folder.display()),
            None if path.is_symlink() => "it is a link that leads nowhere".to_owned(),
            None => "there is no such file".to_owned(),
        },
        ErrorKind::NotADirectory => match last(|folder| folder.exists() && !folder.is_dir()) {
            Some(file) => format!("{} is no folder", file.display()),
            None => "it is no folder".to_owned(),
        },
        ErrorKind::AlreadyExists => "it is there already".to_owned(),
        ErrorKind::IsADirectory => "expected a file, found a folder".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::why;
    use std::fs;
    use std::path::Path;

    #[test]
    fn what_is_missing_is_named() {
        let folder = std::env::temp_dir().join(format!("jackfield-files-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let at = |path: &str| folder.join(path);
        fs::write(at("file"), "").unwrap();
        std::os::unix::fs::symlink("nowhere", at("link")).unwrap();
        let read = |path: &str| why(&at(path), &fs::read(at(path)).unwrap_err());
        let shown = |path: &str| at(path).display().to_string();
        let said = [
            (read("none"), "there is no such file".to_owned()),
            (read("none/deep/file"), format!("there is no folder {}", shown("none"))),
            (read("file/x"), format!("{} is no folder", shown("file"))),
            (read("link"), "it is a link that leads nowhere".to_owned()),
            (read(""), "expected a file, found a folder".to_owned()),
            (
                why(&at("file"), &fs::create_dir(at("file")).unwrap_err()),
                "it is there already".to_owned(),
            ),
        ];
        let relative = Path::new("none/at/all");
        let missing = why(relative, &fs::read(relative).unwrap_err());
        fs::remove_dir_all(&folder).unwrap();
        for (found, expected) in said {
            assert_eq!(found, expected);
        }
        assert_eq!(missing, "there is no folder none");
    }
}
