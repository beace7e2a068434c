//! Whether two sides' tables fit, and what to say when they do not.

use abi_stable::abi_stability::abi_checking::{
    AbiInstability, AbiInstabilityErrors, CheckingGlobals, check_layout_compatibility_with_globals,
};
use abi_stable::library::{AbiHeader, LibraryError};
use abi_stable::type_layout::{TLFieldOrFunction, TypeLayout};

/// Compares what both sides hold for the same prefix type. One of them may be older: then it is a
/// prefix of the other, seen from that other's side.
///
/// # Errors
/// The first difference, in one line.
pub(super) fn check_layouts(
    ours: &'static TypeLayout,
    theirs: &'static TypeLayout,
) -> Result<(), String> {
    match compare(ours, theirs) {
        Err(_) if compare(theirs, ours).is_ok() => Ok(()),
        Err(errors) => Err(first_difference(&errors)),
        Ok(()) => Ok(()),
    }
}

/// Starts with nothing known: what the checker would remember of one plugin is wrong for the next one,
/// of another minor.
fn compare(
    one: &'static TypeLayout,
    other: &'static TypeLayout,
) -> Result<(), AbiInstabilityErrors> {
    check_layout_compatibility_with_globals(one, other, &CheckingGlobals::new())
}

/// The checker's own report is a page for each type.
fn first_difference(errors: &AbiInstabilityErrors) -> String {
    let differing = errors.errors.iter().find_map(|at| Some((at, at.errs.first()?)));
    let Some((at, difference)) = differing else { return "it differs".to_owned() };
    let what = match difference {
        AbiInstability::UnexpectedField(it) => {
            format!("{:?} stands where {:?} belongs", it.found.name(), it.expected.name())
        }
        AbiInstability::FieldCountMismatch(it) => {
            format!("{} fields stand where {} belong", it.found, it.expected)
        }
        AbiInstability::MismatchedPrefixSize(it) => {
            format!("its first version has {} fields, not {}", it.found, it.expected)
        }
        AbiInstability::Name(it) => {
            format!("{} stands where {} belongs", it.found.name(), it.expected.name())
        }
        _ => "its form differs".to_owned(),
    };
    // Unnamed steps are the numbered fields of wrappers and the arguments of functions.
    let named = at.stack_trace.iter().filter_map(|step| match &step.expected {
        TLFieldOrFunction::Field(field) => Some(field.name()),
        TLFieldOrFunction::Function(_) => None,
    });
    let path: Vec<&str> = named.filter(|name| name.starts_with(char::is_alphabetic)).collect();
    if path.is_empty() { what } else { format!("{}: {what}", path.join(".")) }
}

/// Why a header or root module was refused, in one line without dumps of bytes.
pub(super) fn library_problem(error: &LibraryError) -> String {
    if let LibraryError::InvalidAbiHeader(theirs) = error {
        let ours = AbiHeader::VALUE;
        if theirs.magic_string != ours.magic_string {
            return "its header is damaged, or not one of a plugin".to_owned();
        }
        return format!(
            "it is built with abi_stable {}.{}, this host with {}.{}",
            theirs.abi_major, theirs.abi_minor, ours.abi_major, ours.abi_minor
        );
    }
    let text = error.to_string();
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use abi_stable::StableAbi;

    /// Versions of one table and of the services it is given, each as a release would have them.
    macro_rules! version {
        ($name:ident, [$($first:ident($argument:ty)),*], [$($more:ident),*], [$($service:ident),*]) => {
            #[allow(dead_code, reason = "only the layout is of interest")]
            mod $name {
                use abi_stable::StableAbi;

                #[repr(C)]
                #[derive(StableAbi)]
                #[sabi(kind(Prefix(prefix_ref = Services_Ref)))]
                #[sabi(missing_field(option))]
                pub(super) struct Services {
                    #[sabi(last_prefix_field)]
                    log: unsafe extern "C" fn(u32),
                    $($service: unsafe extern "C" fn(u32),)*
                }

                #[repr(C)]
                #[derive(StableAbi)]
                #[sabi(kind(Prefix(prefix_ref = Table_Ref)))]
                #[sabi(missing_field(option))]
                pub(super) struct Table {
                    $($first: unsafe extern "C" fn($argument) -> u64,)*
                    #[sabi(last_prefix_field)]
                    init: unsafe extern "C" fn(Services_Ref),
                    $($more: unsafe extern "C" fn(u32),)*
                }
            }
        };
    }

    version!(oldest, [open(u32)], [], []);
    version!(older, [open(u32)], [], [now]);
    version!(current, [open(u32)], [ping], [now]);
    // The same once more, as another plugin's binary has it.
    version!(current_too, [open(u32)], [ping], [now]);
    version!(newer, [open(u32)], [ping, dial], [now, resolve]);

    version!(changed, [open(u64)], [ping], [now]);
    version!(renamed, [connect(u32)], [ping], [now]);
    version!(moved, [open(u32), close(u32)], [ping], [now]);
    version!(split, [open(u32)], [pong], [now]);
    version!(other_service, [open(u32)], [ping], [time]);

    fn of<T: StableAbi>() -> &'static TypeLayout {
        T::LAYOUT
    }

    #[test]
    fn older_and_newer_sides_fit_whichever_of_them_asks() {
        let versions = [
            of::<oldest::Table_Ref>(),
            of::<older::Table_Ref>(),
            of::<current::Table_Ref>(),
            of::<newer::Table_Ref>(),
        ];
        for ours in versions {
            for theirs in versions {
                assert_eq!(check_layouts(ours, theirs), Ok(()));
            }
        }
    }

    #[test]
    fn what_was_compared_before_makes_no_difference() {
        let (host, old) = (of::<current::Table_Ref>(), of::<oldest::Table_Ref>());
        let (new, newer) = (of::<current_too::Table_Ref>(), of::<newer::Table_Ref>());
        for order in [[old, new, newer], [new, old, new], [newer, old, new], [old, newer, new]] {
            for theirs in order {
                assert_eq!(check_layouts(host, theirs), Ok(()));
            }
        }
    }

    #[test]
    fn one_direction_alone_would_refuse_what_is_older() {
        let (ours, theirs) = (of::<newer::Table_Ref>(), of::<current::Table_Ref>());
        assert!(compare(ours, theirs).is_err());
        assert!(compare(theirs, ours).is_ok());
    }

    #[test]
    fn what_an_evolution_must_not_do_is_refused_in_one_line() {
        let broken = [
            ("open: u64 stands where u32 belongs", of::<changed::Table_Ref>()),
            ("\"connect\" stands where \"open\" belongs", of::<renamed::Table_Ref>()),
            ("its first version has 3 fields, not 2", of::<moved::Table_Ref>()),
            ("\"pong\" stands where \"ping\" belongs", of::<split::Table_Ref>()),
            ("init: \"time\" stands where \"now\" belongs", of::<other_service::Table_Ref>()),
        ];
        for (says, theirs) in broken {
            let ours = of::<current::Table_Ref>();
            assert_eq!(check_layouts(ours, theirs), Err(says.to_owned()));
            assert!(check_layouts(theirs, ours).is_err(), "{says}");
        }
    }
}
