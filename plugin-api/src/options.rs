//! [`options!`](crate::options) and [`params!`](crate::params!): types that cross as JSON, written once.

/// Options of a driver, handler or interceptor: a struct whose fields have their defaults beside them, and
/// enums for fields that are one of a few words.
///
/// Each field needs a doc comment, which a user reads, and has the default after `=`, without one that of
/// its type (an option that must be given is an `Option`, looked for by `configure`). Unknown keys are
/// refused with the nearest known one. Attributes of serde and schemars go where they would without the
/// macro: `#[schemars(extend("x-apply" = "live"))]` says what a change at run time means (see
/// [`Apply`](crate::Apply)), `#[schemars(range(min = 1))]` what is accepted; the host checks both before the
/// plugin is asked. A [`Secret`](crate::Secret) is never shown.
///
/// ```
/// use jackfield_plugin_api::{Secret, options};
///
/// options! {
///     /// Options of `shout`.
///     pub struct ShoutOptions {
///         /// The most bytes of a line.
///         #[schemars(range(min = 1), extend("x-apply" = "live"))]
///         pub max_line: u32 = 16 * 1024,
///         /// How loud.
///         pub tone: Tone = Tone::Loud,
///         /// What the peer wants to hear first.
///         pub password: Option<Secret>,
///     }
///
///     /// How loud.
///     pub enum Tone {
///         /// In capitals.
///         Loud,
///         /// As it comes.
///         Plain,
///     }
/// }
///
/// assert_eq!(ShoutOptions::default().max_line, 16 * 1024);
/// ```
///
/// A struct is `Debug`, `Clone`, `Default`, `Deserialize` and `JsonSchema`, and every field's type must be
/// `Debug`, `Clone`, `Serialize` (the default stands in the schema), `Deserialize` and `JsonSchema`. An enum
/// is written in `snake_case` and has these too, and `Copy`, `PartialEq`, `Eq`.
#[macro_export]
macro_rules! options {
    () => {};
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident {
            $($(#[$field_meta:meta])* $field_vis:vis $field:ident: $type:ty $(= $default:expr)?),* $(,)?
        }
        $($rest:tt)*
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, $crate::serde::Deserialize, $crate::schemars::JsonSchema)]
        #[serde(crate = "jackfield_plugin_api::serde", default, deny_unknown_fields)]
        #[schemars(crate = "jackfield_plugin_api::schemars")]
        $vis struct $name {
            $($(#[$field_meta])* $field_vis $field: $type,)*
        }

        impl Default for $name {
            fn default() -> Self {
                $name { $($field: $crate::__default!($($default)?),)* }
            }
        }

        $crate::options! { $($rest)* }
    };
    (
        $(#[$meta:meta])*
        $vis:vis enum $name:ident {
            $($(#[$variant_meta:meta])* $variant:ident),* $(,)?
        }
        $($rest:tt)*
    ) => {
        $(#[$meta])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq,
            $crate::serde::Serialize, $crate::serde::Deserialize, $crate::schemars::JsonSchema,
        )]
        #[serde(crate = "jackfield_plugin_api::serde", rename_all = "snake_case")]
        #[schemars(crate = "jackfield_plugin_api::schemars")]
        $vis enum $name {
            $($(#[$variant_meta])* $variant,)*
        }

        $crate::options! { $($rest)* }
    };
}

/// Parameters and results of operations: structs whose fields must all be given, other than an `Option`,
/// and where unknown ones are refused. They are `Debug`, `Clone`, `Serialize`, `Deserialize` and
/// `JsonSchema`; attributes of serde and schemars go where they would without the macro.
///
/// ```
/// use jackfield_plugin_api::{Operation, params, serde_json::json};
///
/// params! {
///     /// What to read.
///     pub struct Get {
///         /// Its key.
///         pub key: String,
///         /// Where the answer is no longer than that.
///         pub most: Option<u32>,
///     }
///
///     /// What was read.
///     pub struct Got {
///         /// The value; without it there is none.
///         pub value: Option<String>,
///     }
/// }
///
/// let operation = Operation::new::<Get, Got>("get", "Reads a value");
/// assert_eq!(operation.params["required"], json!(["key"]));
/// let get: Get = params(json!({ "key": "a" }))?;
/// assert!(get.key == "a" && params::<Get>(json!({ "kye": "a" })).is_err());
/// # Ok::<(), jackfield_plugin_api::Error>(())
/// ```
#[macro_export]
macro_rules! params {
    () => {};
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident {
            $($(#[$field_meta:meta])* $field_vis:vis $field:ident: $type:ty),* $(,)?
        }
        $($rest:tt)*
    ) => {
        $(#[$meta])*
        #[derive(
            Debug, Clone,
            $crate::serde::Serialize, $crate::serde::Deserialize, $crate::schemars::JsonSchema,
        )]
        #[serde(crate = "jackfield_plugin_api::serde", deny_unknown_fields)]
        #[schemars(crate = "jackfield_plugin_api::schemars")]
        $vis struct $name {
            $($(#[$field_meta])* $field_vis $field: $type,)*
        }

        $crate::params! { $($rest)* }
    };
}

/// A field's default.
#[doc(hidden)]
#[macro_export]
macro_rules! __default {
    () => {
        Default::default()
    };
    ($default:expr) => {
        $default
    };
}
